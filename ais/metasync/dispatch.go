package metasync

import (
	"github.com/aistore-go/aistore/cmn/apierr"
)

// incoming is a call of another node; it is answered by a reply with token.
func (m *machine) incoming(token uint64, kind string, body []byte) {
	switch kind {
	case KindRaft:
		err := m.receive(body)
		if err != nil {
			err = apierr.BadRequest("%s", err)
		}
		m.reply(reply{token: token, err: err})
	case KindPush:
		m.pushed(token, body)
	case KindPull:
		m.pull(token, body)
	case KindJoin:
		m.joins(token, body)
	case KindKeepalive:
		m.keepalive(token, body)
	case KindLeave:
		m.left(token, body)
	case KindReadIndex:
		m.readIndex(token, body)
	case KindProbe:
		m.probed(token, body)
	case KindWhois:
		m.whois(token, body)
	case KindAnnounce:
		m.announces(token, body)
	case KindCollect:
		m.collects(token, body)
	case KindAdopt:
		m.adopt(token, body)
	default:
		m.reply(reply{token: token, err: apierr.BadRequest("unknown call %q between nodes", kind)})
	}
}
