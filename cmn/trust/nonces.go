package trust

import "sync"

// nonceWindow is how long a nonce has to be remembered, in milliseconds: a
// request may come from a clock that is Window ahead, and is good until it is
// Window behind.
const nonceWindow = 2 * int64(Window/1e6)

// maxNonces is how many are kept in each of two generations.
const maxNonces = 128 << 10

// nonces remembers what was seen, so that no call has its effect twice. It is
// bounded: when too many calls come, the older half is forgotten, and with it
// everything that was signed until then is refused.
type nonces struct {
	mu       sync.Mutex
	young    map[[NonceSize]byte]struct{}
	old      map[[NonceSize]byte]struct{}
	since    int64 // when young began, ms
	youngest int64 // latest time of signing in young, ms
	oldest   int64 // same of old
	floor    int64 // calls signed until then are refused, ms
}

// take notes a nonce; false if it was seen before, or may have been.
func (n *nonces) take(nonce *[NonceSize]byte, sentMS, nowMS int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if sentMS <= n.floor {
		return false
	}
	if _, seen := n.young[*nonce]; seen {
		return false
	}
	if _, seen := n.old[*nonce]; seen {
		return false
	}
	aged := nowMS-n.since >= nonceWindow
	if n.young == nil || aged || len(n.young) >= maxNonces {
		if n.old != nil && !aged {
			n.floor = max(n.floor, n.oldest) // forgotten before its time
		}
		n.old, n.oldest = n.young, n.youngest
		n.young, n.since, n.youngest = map[[NonceSize]byte]struct{}{}, nowMS, 0
	}
	n.young[*nonce] = struct{}{}
	n.youngest = max(n.youngest, sentMS)
	return true
}
