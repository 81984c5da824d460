// Package sysinfo reads memory, processor, load and disks of the machine, and
// memory and processor of this process, from /proc and /sys. It knows nothing
// of control groups: the numbers are the machine's.
package sysinfo
