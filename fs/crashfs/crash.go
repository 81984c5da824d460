package crashfs

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/fs"
)

// Crash is a loss of power. It returns the system that is found afterwards, in
// which everything is durable; every later call on s fails with ErrDown.
func (s *System) Crash(seed uint64) *System {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	after := s.successor()
	for i, d := range s.disks {
		c := newCrash(d, rand.New(rand.NewPCG(seed, uint64(i))), seed, s.options.Ordered)
		c.chooseEntries()
		after.disks[i].root = c.rebuild(d.root, after.disks[i])
	}
	return after
}

// Kill is the end of the process: nothing is lost, and nothing is more durable
// than it was. It returns the system that the next process finds; every later
// call on s fails with ErrDown.
func (s *System) Kill() *System {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	after := s.successor()
	for f := range s.open {
		f.forget()
	}
	after.seq = s.seq
	for i, d := range s.disks {
		heir := after.disks[i]
		heir.root, heir.dirty = d.root, d.dirty
		seen := make(map[*node]struct{})
		d.root.adopt(heir, seen)
		for n := range d.dirty { // those without a name as well
			n.adopt(heir, seen)
		}
		heir.used = 0
		for n := range seen {
			if n.links > 0 {
				heir.used += n.blocks()
			}
		}
	}
	return after
}

func (s *System) successor() *System {
	after := empty(s.options)
	after.lastIno = s.lastIno
	for i, d := range s.disks {
		after.addDisk(i).size = d.size
	}
	return after
}

// adopt gives a tree to another disk.
func (n *node) adopt(d *disk, seen map[*node]struct{}) {
	if _, again := seen[n]; again {
		return
	}
	seen[n] = struct{}{}
	n.disk = d
	for _, child := range n.now.entries {
		child.adopt(d, seen)
	}
	for _, child := range n.durable.entries {
		child.adopt(d, seen)
	}
	for _, c := range n.pending {
		if c.target != nil {
			c.target.adopt(d, seen)
		}
	}
}

// crash decides what is left of one disk.
type crash struct {
	seed    uint64
	disk    *disk
	ordered bool
	random  *rand.Rand
	style   style
	keep    float64          // odds that an independent change survives
	cut     uint64           // last metadata change of the log that survives
	kept    map[*change]bool // entries
	made    map[*node]*node  // of the new system
}

type style uint8

const (
	loseAll style = iota
	keepAll
	keepLog
	independent
)

func newCrash(d *disk, random *rand.Rand, seed uint64, ordered bool) *crash {
	c := &crash{seed: seed, disk: d, ordered: ordered, random: random, kept: make(map[*change]bool), made: make(map[*node]*node)}
	switch n := random.IntN(10); {
	case n == 0:
		c.style = loseAll
	case n == 1:
		c.style = keepAll
	case n < 5:
		c.style = keepLog
	default:
		c.style = independent
	}
	odds := [...]float64{0.03, 0.2, 0.5, 0.8, 0.97}
	c.keep = odds[random.IntN(len(odds))]
	var seqs []uint64
	for n := range d.dirty {
		for _, change := range n.pending {
			seqs = append(seqs, change.seq)
		}
	}
	slices.Sort(seqs)
	if len(seqs) > 0 {
		if i := random.IntN(len(seqs) + 1); i < len(seqs) {
			c.cut = seqs[i]
		} else {
			c.cut = ^uint64(0)
		}
	}
	return c
}

// of is the random source of one node: the same for the same seed, whatever
// happens to other nodes.
func (c *crash) of(n *node) *rand.Rand { return rand.New(rand.NewPCG(c.seed, n.ino<<8)) }

// upTo decides how many of the changes of one thing survive.
func (c *crash) upTo(random *rand.Rand, changes []*change) int {
	switch c.style {
	case loseAll:
		return 0
	case keepAll:
		return len(changes)
	case keepLog:
		count := 0
		for count < len(changes) && changes[count].seq <= c.cut {
			count++
		}
		return count
	}
	if random.Float64() < c.keep {
		return len(changes)
	}
	return random.IntN(len(changes) + 1)
}

// byName groups changes by what they change, in the order of first appearance.
func byName(changes []*change, kind changeKind) [][]*change {
	var groups [][]*change
	index := make(map[string]int)
	for _, change := range changes {
		if change.kind != kind {
			continue
		}
		i, known := index[change.name]
		if !known {
			i = len(groups)
			index[change.name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], change)
	}
	return groups
}

// chooseEntries decides which changes of names survive.
func (c *crash) chooseEntries() {
	var dirs []*node
	for n := range c.disk.dirty {
		if n.kind == fs.KindDir {
			dirs = append(dirs, n)
		}
	}
	slices.SortFunc(dirs, func(a, b *node) int { return int(a.ino) - int(b.ino) })
	var all [][]*change
	for _, dir := range dirs {
		random := c.of(dir)
		for _, group := range byName(dir.pending, changeEntry) {
			for _, change := range group[:c.upTo(random, group)] {
				c.kept[change] = true
			}
			all = append(all, group)
		}
	}
	for settled := false; !settled; {
		settled = true
		for _, group := range all {
			for i, change := range group {
				if c.kept[change] && !c.possible(change) {
					settled = false
					for _, later := range group[i:] {
						delete(c.kept, later)
					}
				}
			}
		}
	}
}

// possible tells whether half of a rename may survive, as the other one is.
func (c *crash) possible(half *change) bool {
	if half.peer == nil || c.kept[half.peer] || !slices.Contains(half.peer.at.pending, half.peer) {
		return true // the other half survives as well, or is durable already
	}
	moved := half.target
	return moved != nil && moved.kind != fs.KindDir // a file has both names then
}

// rebuild makes the node that is found after the crash.
func (c *crash) rebuild(n *node, d *disk) *node {
	if made := c.made[n]; made != nil {
		made.links++
		return made
	}
	made := &node{ino: n.ino, disk: d, kind: n.kind, mode: n.mode, links: 1}
	c.made[n] = made
	random := c.of(n)
	if n.kind == fs.KindDir {
		entries := state{entries: make(map[string]*node, len(n.durable.entries))}
		for name, child := range n.durable.entries {
			entries.entries[name] = child
		}
		for _, change := range n.pending {
			if change.kind == changeEntry && c.kept[change] {
				entries.apply(change)
			}
		}
		made.now = n.durable.settled()
		made.now.entries = make(map[string]*node, len(entries.entries))
		made.durable.entries = make(map[string]*node, len(entries.entries))
		for name, child := range entries.entries {
			heir := c.rebuild(child, d)
			made.now.entries[name] = heir
			made.durable.entries[name] = heir
		}
	} else {
		made.now = n.durable.settled()
		made.now.data = c.data(random, n)
	}
	for _, group := range byName(n.pending, changeXattr) {
		for _, change := range group[:c.upTo(random, group)] {
			made.now.apply(change)
		}
	}
	for _, group := range byName(n.pending, changeTimes) {
		for _, change := range group[:c.upTo(random, group)] {
			made.now.apply(change)
		}
	}
	entries := made.durable.entries
	made.durable = made.now.settled()
	made.durable.entries = entries
	d.used += made.blocks()
	return made
}

// data is what is left of a file's content.
func (c *crash) data(random *rand.Rand, n *node) []byte {
	changes := make([]*change, 0, len(n.pending))
	for _, change := range n.pending {
		if change.isData() {
			changes = append(changes, change)
		}
	}
	content := bytes.Clone(n.durable.data)
	if len(changes) > 0 {
		ways := 4
		if c.ordered {
			ways = 3
		}
		switch way := random.IntN(ways); {
		case c.style == loseAll || way == 0:
		case c.style == keepAll || way == 1:
			content = cutAfter(content, changes, len(changes), 0)
		case way == 2:
			count := random.IntN(len(changes) + 1)
			content = cutAfter(content, changes, count, random.Float64())
		default:
			content = c.torn(random, content, changes)
		}
	}
	for _, page := range slices.Sorted(maps.Keys(n.dropped)) {
		old := n.dropped[page]
		if start := page * pageSize; start < int64(len(content)) && random.IntN(2) == 0 {
			copy(content[start:], old)
		}
	}
	return content
}

// cutAfter applies the first changes and, if it is a write, a part of the next.
func cutAfter(content []byte, changes []*change, count int, part float64) []byte {
	st := state{data: content}
	for _, change := range changes[:count] {
		st.apply(change)
	}
	if count < len(changes) && changes[count].kind == changeWrite {
		last := *changes[count]
		last.data = last.data[:int(part*float64(len(last.data)))]
		if len(last.data) > 0 {
			st.apply(&last)
		}
	}
	return st.data
}

// torn lets every page or sector, and the size, stop at a point of its own.
func (c *crash) torn(random *rand.Rand, content []byte, changes []*change) []byte {
	unit := int64(pageSize)
	if random.IntN(2) == 0 {
		unit = sectorSize
	}
	sizes := []int64{int64(len(content))}
	longest := sizes[0]
	for _, change := range changes {
		size := change.size
		if change.kind == changeWrite {
			size = max(sizes[len(sizes)-1], change.offset+int64(len(change.data)))
		}
		sizes = append(sizes, size)
		longest = max(longest, size)
	}
	result := make([]byte, longest)
	copy(result, content)
	until := make([]int, (longest+unit-1)/unit)
	for i := range until {
		if until[i] = len(changes); random.Float64() > c.keep {
			until[i] = random.IntN(len(changes) + 1)
		}
	}
	for i, change := range changes {
		from, to, data := change.offset, change.offset+int64(len(change.data)), change.data
		if change.kind == changeSize {
			from, to, data = change.size, longest, nil
		}
		for at := from; at < to; {
			end := min((at/unit+1)*unit, to)
			if until[at/unit] > i {
				if data == nil {
					clear(result[at:end])
				} else {
					copy(result[at:end], data[at-from:end-from])
				}
			}
			at = end
		}
	}
	return result[:sizes[random.IntN(len(sizes))]]
}

// Walk calls fn for every file and directory below a path, parents first.
func (s *System) Walk(path string, fn func(path string, info fs.FileInfo)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(path)
	if err != nil {
		return
	}
	n.walk(strings.TrimSuffix(path, "/"), fn)
}

func (n *node) walk(path string, fn func(path string, info fs.FileInfo)) {
	names := make([]string, 0, len(n.now.entries))
	for name := range n.now.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		child := n.now.entries[name]
		fn(path+"/"+name, child.info())
		child.walk(path+"/"+name, fn)
	}
}
