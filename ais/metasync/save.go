package metasync

import "sync"

// saveQueue holds the batches of writes that wait for the storage.
type saveQueue struct {
	mu     sync.Mutex
	writes []write
	batch  uint64        // number of the last one
	some   chan struct{} // holds one value while there is something
}

func (q *saveQueue) add(batch uint64, writes []write) {
	q.mu.Lock()
	q.writes, q.batch = append(q.writes, writes...), batch
	q.mu.Unlock()
	select {
	case q.some <- struct{}{}:
	default:
	}
}

func (q *saveQueue) take() (writes []write, batch uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	writes, batch = q.writes, q.batch
	q.writes = nil
	return writes, batch
}

// save makes batches durable, all that wait in one go, and tells the machine.
// A storage that fails is tried again for as long as it takes; meanwhile the
// node says why it takes no part in changes.
func (a *Agent) save() {
	for {
		select {
		case <-a.saving.some:
		case <-a.ctx.Done():
			return
		}
		writes, batch := a.saving.take()
		if len(writes) == 0 {
			continue
		}
		for {
			err := a.o.Storage.Save(func(put func(string, uint64, []byte) error, remove func(string, uint64, uint64) error) error {
				return fill(writes, put, remove)
			})
			if err == nil {
				break
			}
			reason := "the cluster state cannot be stored: " + err.Error()
			a.broken.Store(&reason)
			a.log.Error("cannot store the cluster state, trying again", "err", err)
			if !a.input(func(m *machine) { m.saveFails(err.Error()) }) || a.pause(a.ctx, retrySave) != nil {
				return
			}
		}
		a.broken.Store(nil)
		if !a.input(func(m *machine) { m.saved(batch) }) {
			return
		}
	}
}

func fill(writes []write, put func(string, uint64, []byte) error, remove func(string, uint64, uint64) error) error {
	for _, w := range writes {
		var err error
		if w.value == nil {
			err = remove(w.bucket, w.key, w.end)
		} else {
			err = put(w.bucket, w.key, w.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// input gives the machine an input that nobody waits for; false if the node
// is stopping.
func (a *Agent) input(f func(m *machine)) bool {
	select {
	case a.inbox <- func() { f(a.machine) }:
		return true
	case <-a.ctx.Done():
		return false
	}
}
