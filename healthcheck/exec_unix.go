//go:build unix

package healthcheck

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the command the leader of a process group, which is killed
// when its context ends.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
}

// killGroup kills what is left of the command's process group. The system does not
// give the group's number to another while a process is left in it, nor so soon
// after.
func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
