// Package crashfs is a fs.System in memory that can lose its power. It keeps,
// for every file and directory, what is on stable storage and the list of
// changes since; Crash makes the system that a machine may find after it comes
// back. It is for tests of fs and of what stands on it.
//
// # What a sync makes durable
//
//   - fsync of a file: its data, size, extended attributes and times. Not its
//     name, and nothing of any other file.
//   - fdatasync of a file: data and size. Not the attributes: ext4 does not
//     count a changed attribute as something that fdatasync must write.
//   - fsync of a directory: the entries in it. Not the content of what they
//     name, and not the entry of the directory in its own parent.
//   - syncfs: everything on the disk.
//   - sync_file_range, fallocate, close, flock and time: nothing.
//
// ext4 and XFS make more durable than that (one log holds the metadata of the
// whole filesystem, and a sync writes all of it that is older). Nothing here
// relies on it: what is right under this model is right on both.
//
// # What a crash leaves of the changes since
//
// Every crash draws one of these ways to lose things for a disk:
//
//   - Everything or nothing since the last sync is there.
//   - Log: metadata changes (entries, attributes, times) are there up to one
//     point in their order on the disk, as a journal leaves them; data is lost
//     as below.
//   - Independent: each name of each directory, each attribute of each file and
//     the data of each file stop at a point of their own. The odds are drawn as
//     well, so that some crashes lose one thing only, and some keep one only.
//
// The data of a file is cut in one of these ways:
//
//   - All or nothing.
//   - Ordered, as ext4 with data=ordered and XFS append: a first part of the
//     changes, the last of them cut at a byte. The file is shorter, and what is
//     there is right.
//   - Torn: each page of 4 KiB, or each sector of 512 bytes, stops at a point of
//     its own, and so does the size. Sectors that were never written are zero:
//     a file may have its full size and holes of zeros in it. Options.Ordered
//     excludes this one.
//
// Names. An entry of a directory is a change of its own: created, renamed to,
// removed. A name is never half there, and never names something else than what
// it named at some time. What it names may be unsynced: then it is a file with
// what is left of its content, or an empty directory. What was synced below a
// directory whose own name is lost is lost with it.
//
// Rename. If the removal of the old name survives, so does the new name. The
// other way round a file may have both names (its directories were written
// apart); a directory never has: its rename is there as a whole or not at all.
// An fsync of the old directory makes the new name durable too.
//
// A failed fsync or syncfs (see Fault) drops data as the kernel does: the pages
// that were to be written count as clean, a later sync reports success and does
// not write them, and a crash may bring back what was there before.
//
// Kill is the end of the process alone: everything is as the kernel has it, and
// still not on stable storage.
//
// A crash is the same for the same seed and the same sequence of calls.
package crashfs
