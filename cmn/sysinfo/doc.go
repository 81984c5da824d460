// Package sysinfo reads memory, processor, load and disks of the machine, and
// memory and processor of this process, from /proc and /sys, with the limits
// of the process's control groups (version 2) where there are any.
package sysinfo
