package sqlite

import (
	"strings"
	"testing"
)

func TestNetworkFileSystemsAreRefused(t *testing.T) {
	t.Parallel()
	for kind, name := range map[uint32]string{0x6969: "nfs", 0xFF534D42: "cifs", 0x01021997: "9p"} {
		if _, err := judgeFileSystem(kind); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for kind, name := range map[uint32]string{0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs"} {
		if unsafe, err := judgeFileSystem(kind); err != nil || len(unsafe) > 0 {
			t.Errorf("%s: got %v, %v", name, unsafe, err)
		}
	}
	if unsafe, err := judgeFileSystem(0x01021994); err != nil || len(unsafe) != 1 {
		t.Errorf("tmpfs: got %v, %v", unsafe, err)
	}
}
