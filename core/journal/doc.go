// Package journal is the commit journal of one mountpath: which names were
// about to change, in the order of their changes. A frame is written before the
// files are touched, so that after the process was killed only the names of the
// last frames have to be looked at again. It says nothing of the outcome: the
// files do.
package journal
