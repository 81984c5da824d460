// Package unit holds the two quantities of configuration and bucket
// properties that travel as text: sizes in bytes and durations.
package unit
