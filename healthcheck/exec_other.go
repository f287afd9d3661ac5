//go:build !unix

package healthcheck

import "os/exec"

// ownGroup does nothing: there are no process groups.
func ownGroup(*exec.Cmd) {}

// killGroup does nothing: the command itself is killed when its context ends.
func killGroup(*exec.Cmd) error { return nil }
