//go:build amd64 || arm64

package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

type fsKind struct {
	name     string
	coherent bool
}

// fileSystems knows file systems by the magic number of statfs. Those that
// are coherent keep one page cache per file and one list of locks, both in
// this kernel. Of the others, some keep either on another machine or in
// another process, and the rest holds no ordinary files.
var fileSystems = map[uint32]fsKind{
	unix.TMPFS_MAGIC:           {"tmpfs", true},
	unix.RAMFS_MAGIC:           {"ramfs", true},
	unix.HUGETLBFS_MAGIC:       {"hugetlbfs", true},
	unix.EXT4_SUPER_MAGIC:      {"ext4", true}, // and ext2, ext3
	unix.XFS_SUPER_MAGIC:       {"xfs", true},
	unix.BTRFS_SUPER_MAGIC:     {"btrfs", true},
	unix.BCACHEFS_SUPER_MAGIC:  {"bcachefs", true},
	unix.F2FS_SUPER_MAGIC:      {"f2fs", true},
	unix.NILFS_SUPER_MAGIC:     {"nilfs2", true},
	unix.REISERFS_SUPER_MAGIC:  {"reiserfs", true},
	unix.MSDOS_SUPER_MAGIC:     {"vfat", true},
	unix.EXFAT_SUPER_MAGIC:     {"exfat", true},
	unix.UDF_SUPER_MAGIC:       {"udf", true},
	unix.ECRYPTFS_SUPER_MAGIC:  {"ecryptfs", true},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", true}, // opening for writing copies up first
	0x2fc12fc1:                 {"zfs", true},
	0x3153464a:                 {"jfs", true},
	0x24051905:                 {"ubifs", true},
	0x7366746e:                 {"ntfs3", true},
	0x5346544e:                 {"ntfs", true},
	0x0000482b:                 {"hfsplus", true},
	0x61756673:                 {"aufs", true},

	unix.NFS_SUPER_MAGIC:    {"nfs", false},
	unix.SMB_SUPER_MAGIC:    {"smb", false},
	unix.SMB2_SUPER_MAGIC:   {"smb2", false},
	unix.CIFS_SUPER_MAGIC:   {"cifs", false},
	unix.FUSE_SUPER_MAGIC:   {"fuse", false}, // and virtiofs
	unix.V9FS_MAGIC:         {"9p", false},
	unix.AFS_SUPER_MAGIC:    {"afs", false},
	unix.AFS_FS_MAGIC:       {"afs", false},
	unix.CODA_SUPER_MAGIC:   {"coda", false},
	unix.CEPH_SUPER_MAGIC:   {"ceph", false},
	unix.NCP_SUPER_MAGIC:    {"ncp", false},
	unix.OCFS2_SUPER_MAGIC:  {"ocfs2", false},
	unix.HOSTFS_SUPER_MAGIC: {"hostfs", false},
	0x01161970:              {"gfs2", false},
	0x0bd00bd0:              {"lustre", false},
	0x47504653:              {"gpfs", false},
	0xaad7aaea:              {"panfs", false},
	0x19830326:              {"beegfs", false},
	0x20030528:              {"orangefs", false},
	0x786f4256:              {"vboxsf", false},
	0x7c7c6673:              {"prl_fs", false},
	0xbacbacbc:              {"vmhgfs", false},

	unix.PROC_SUPER_MAGIC:    {"proc", false},
	unix.SYSFS_MAGIC:         {"sysfs", false},
	unix.CGROUP_SUPER_MAGIC:  {"cgroup", false},
	unix.CGROUP2_SUPER_MAGIC: {"cgroup2", false},
	unix.DEBUGFS_MAGIC:       {"debugfs", false},
	unix.TRACEFS_MAGIC:       {"tracefs", false},
	unix.BPF_FS_MAGIC:        {"bpf", false},
	unix.NSFS_MAGIC:          {"nsfs", false},
	unix.PIPEFS_MAGIC:        {"pipefs", false},
	unix.SOCKFS_MAGIC:        {"sockfs", false},
	unix.ANON_INODE_FS_MAGIC: {"anon_inodefs", false},
	unix.DEVPTS_SUPER_MAGIC:  {"devpts", false},
}

// FSName names the file system of fd and says whether mappings and locks of a
// file on it are the same for everybody on this machine. One that is not
// known here is named by its number and taken for incoherent: refusing it
// costs a different path, trusting it wrongly costs data.
func FSName(fd int) (name string, coherent bool, err error) {
	var st unix.Statfs_t
	if err = retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return "", false, fmt.Errorf("sys: statfs descriptor %d: %w", fd, err)
	}
	k, ok := fileSystems[uint32(st.Type)]
	if !ok {
		return fmt.Sprintf("file system %#x", uint32(st.Type)), false, nil
	}
	return k.name, k.coherent, nil
}
