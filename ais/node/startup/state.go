package startup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/statefile"
)

// State is a node's open state file and what is known of its past.
type State struct {
	*statefile.File
	// NodeID is the id of the node that the file belongs to, "" if it is new.
	NodeID string
	// Lost says in a few words why the file is new although the node has lived
	// before, "" if it has not or the file is what it left.
	Lost string
}

// OpenState opens the state file. One that is damaged, as far as check can
// tell, is moved aside, and a new one takes its place: the node comes back as
// one that has lost its state. check returns the id of the node that the file
// belongs to, "" if it is new.
func (s *Settings) OpenState(check func(*statefile.File) (nodeID string, err error)) (*State, error) {
	dir := s.Local.ConfDir
	path := filepath.Join(dir, statefile.Name)
	state := &State{}
	earlier, err := s.earlierLife()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("cannot open the state file: %w", err)
	case info.Size() == 0 && earlier != "":
		// A new file is not without contents for longer than its making takes.
		if state.Lost, err = moveAside(path, errors.New("it is empty")); err != nil {
			return nil, err
		}
	}
	state.File, err = statefile.Open(dir)
	if err == nil {
		if state.NodeID, err = check(state.File); err != nil {
			if !errors.Is(err, statefile.ErrDamaged) {
				err = fmt.Errorf("the state file %s is %w: %w", path, statefile.ErrDamaged, err)
			}
			err = errors.Join(err, state.Close())
		}
	}
	if errors.Is(err, statefile.ErrDamaged) {
		if state.Lost, err = moveAside(path, err); err != nil {
			return nil, err
		}
		state.NodeID = ""
		state.File, err = statefile.Open(dir)
	}
	if err != nil {
		return nil, err
	}
	if state.NodeID == "" && state.Lost == "" && earlier != "" {
		state.Lost = fmt.Sprintf("%s has no state in it, but %s of an earlier start is there", path, earlier)
	}
	return state, nil
}

// moveAside keeps a damaged state file under another name, with the time, and
// returns what happened.
func moveAside(path string, cause error) (string, error) {
	aside := path + ".damaged." + time.Now().UTC().Format("20060102T150405.000Z")
	if err := os.Rename(path, aside); err != nil {
		return "", errors.Join(cause, fmt.Errorf("cannot move it aside: %w", err))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%v; kept as %s", cause, aside), nil
}

// earlierLife names a file that an earlier start of this node has left and
// that is only written once the node has a state file; "" if there is none.
func (s *Settings) earlierLife() (string, error) {
	for _, name := range []string{proxyIDFile, node.ExportSmap, node.ExportConfig, node.ExportBMD} {
		_, err := os.Stat(filepath.Join(s.Local.ConfDir, name))
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}
