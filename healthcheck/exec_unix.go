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

// killGroup kills what is left of the command's process group. As long as
// somebody is left, the system gives the number to nobody else; where nobody is,
// it has been free for too short a time for that.
func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
