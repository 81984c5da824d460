package node

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/core/meta"
)

// Bounds of a request that revokes tokens.
const (
	maxTokens    = 10_000  // in one request
	maxTokenLen  = 8 << 10 // bytes
	maxTokenBody = 4 << 20 // bytes of a request
)

// tokenList is the body of DELETE /v1/tokens. A version that clients send is
// not used: the list has one of its own.
type tokenList struct {
	Tokens []string `json:"tokens"`
}

// revokedToken is one entry of the document of revoked tokens. Its key is the
// digest of the token, which itself is not kept.
type revokedToken struct {
	Expires int64 `json:"exp,omitempty"` // s since the epoch; the entry is dropped then. 0: never
}

// tokens answers /v1/tokens.
func (n *Node) tokens(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return apierr.NotImplemented("checking a token is not built yet: requests are answered without one")
	}
	if err := n.admit(); err != nil {
		return err
	}
	return n.OnPrimary(w, r, n.whenServing(n.revokeTokens))
}

// revokeTokens adds tokens to the cluster's list of revoked ones, which every
// node gets. Tokens that have expired need no entry.
func (n *Node) revokeTokens(w http.ResponseWriter, r *http.Request) error {
	body, err := ReadBody(r, maxTokenBody)
	if err != nil {
		return err
	}
	var list tokenList
	if err := decodeJSON(body, &list, false); err != nil {
		return apierr.BadRequest("failed to unmarshal the list of tokens: %v", err)
	}
	if len(list.Tokens) == 0 || len(list.Tokens) > maxTokens {
		return apierr.BadRequest("%d tokens to revoke (expecting 1 to %d)", len(list.Tokens), maxTokens)
	}
	now := time.Now().Unix()
	put := map[string]json.RawMessage{}
	for i, token := range list.Tokens {
		if token == "" || len(token) > maxTokenLen {
			return apierr.BadRequest("token %d has %d characters (expecting 1 to %d)", i, len(token), maxTokenLen)
		}
		entry := revokedToken{Expires: tokenExpiry(token)}
		if entry.Expires != 0 && entry.Expires <= now {
			continue
		}
		if put[tokenKey(token)], err = json.Marshal(entry); err != nil {
			return err
		}
	}
	_, err = n.Control().Commit(r.Context(), "revoke tokens", func(v *meta.View) ([]meta.Change, error) {
		patch := meta.TablePatch{Put: map[string]json.RawMessage{}, Del: expiredTokens(v.Tokens, now)}
		for key, entry := range put {
			if _, ok := v.Tokens.Get(key); !ok {
				patch.Put[key] = entry
			}
		}
		if len(patch.Put) == 0 && len(patch.Del) == 0 {
			return nil, nil
		}
		change, err := meta.NewChange(v, meta.KindTokens, patch)
		if err != nil {
			return nil, err
		}
		return []meta.Change{change}, nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// tokenKey is the key of a token among the revoked ones.
func tokenKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// expiredTokens are the keys of entries that are not needed any longer.
func expiredTokens(revoked *meta.Table, now int64) (keys []string) {
	if revoked == nil {
		return nil
	}
	for key, raw := range revoked.Entries {
		var entry revokedToken
		if json.Unmarshal(raw, &entry) == nil && entry.Expires != 0 && entry.Expires <= now {
			keys = append(keys, key)
		}
	}
	return keys
}

// tokenExpiry is when a JWT expires, in seconds since the epoch; 0 if it never
// does, or is no JWT. It is not verified: a wrong time only harms whoever
// revokes the token.
func tokenExpiry(token string) int64 {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return 0
	}
	var known struct {
		Expires float64 `json:"exp"`
	}
	if json.Unmarshal(claims, &known) != nil || known.Expires < 0 || known.Expires > 1<<40 {
		return 0
	}
	return int64(known.Expires)
}
