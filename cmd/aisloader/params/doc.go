// Package params is what a user says to aisloader: its flags, what they mean
// together, and what is refused. Parse is a function of the arguments and the
// environment alone.
package params
