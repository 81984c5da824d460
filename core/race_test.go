//go:build race

package core

// underRace: with the race detector everything takes ten times as long.
const underRace = true
