package fs

// Waiting is how many members gather for the next round.
func (fsys *Filesystem) Waiting() int {
	fsys.rounds.mu.Lock()
	defer fsys.rounds.mu.Unlock()
	if fsys.rounds.next == nil {
		return 0
	}
	return len(fsys.rounds.next.members)
}
