package disk_test

import (
	"os"
	"strings"
	"testing"

	"github.com/topiq/topiq/torture/disk"
)

// Where a disk cannot be made, the reason is a sentence, not a failed system call.
func TestCheckSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	if err := disk.Check("vfat"); err == nil || !strings.Contains(err.Error(), "vfat") {
		t.Errorf("a file system that is not there: %v", err)
	}
	if os.Geteuid() != 0 {
		if err := disk.Check(disk.Ext4); err == nil || !strings.Contains(err.Error(), "root") {
			t.Errorf("without root: %v", err)
		}
	}
}
