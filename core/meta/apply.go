package meta

import "github.com/aistore-go/aistore/cmn/apierr"

// Apply returns the view after a command with a place in the log. It is pure
// and deterministic. An error is a *Refusal: the command changed no document.
// In any case the returned view stands at term and index; v is unchanged.
func (v *View) Apply(cmd *Command, term, index uint64) (*View, error) {
	next := *v
	next.Term, next.Index = term, index
	refused := next
	if err := next.change(cmd); err != nil {
		return &refused, err
	}
	return &next, nil
}

// change applies the changes of a command to a view that is not published.
func (v *View) change(cmd *Command) error {
	if err := v.check(cmd); err != nil {
		return err
	}
	for _, k := range kinds() {
		for i := range cmd.Changes {
			c := &cmd.Changes[i]
			if c.Kind != k.name {
				continue
			}
			next, err := k.apply(v, c.Patch, c.To)
			if err != nil {
				return refusal(c, c.From, err)
			}
			k.put(v, next)
		}
	}
	return nil
}

// check compares what the command replaces with what is there, before
// anything is changed.
func (v *View) check(cmd *Command) error {
	seen := make(map[string]bool, len(cmd.Changes))
	for i := range cmd.Changes {
		c := &cmd.Changes[i]
		have := int64(0)
		if d := v.Document(c.Kind); d != nil {
			have = d.Ver()
		}
		switch _, err := lookup(c.Kind); {
		case err != nil:
			return refusal(c, have, err)
		case seen[c.Kind]:
			return refusal(c, have, apierr.BadRequest("a command changes a document once"))
		case c.From != have:
			return staleRefusal(c.Kind, have, c.From)
		case c.To <= c.From:
			return refusal(c, have, apierr.BadRequest("a version only grows"))
		}
		seen[c.Kind] = true
	}
	return nil
}
