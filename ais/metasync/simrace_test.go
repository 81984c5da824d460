//go:build race

package metasync

func init() { underRace = true }
