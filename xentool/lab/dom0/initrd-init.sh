#!/bin/busybox sh
# dom0's first steps, in the initramfs: find the root file system, lay the run's own files over it, and go there.
/bin/busybox mkdir -p /proc /sys /dev /sysroot
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do
    /bin/busybox insmod "/$module" || echo "LAB-FAILED: cannot load $module"
done </modules
# The drives' modules are loaded, so the drives are there: virtio's probe is synchronous.
if ! /bin/busybox mount -t ext4 -o noatime /dev/vda /sysroot; then
    echo "LAB-FAILED: cannot mount the root file system"
    exit 1
fi
if ! /bin/busybox tar -x -f /dev/vdb -C /sysroot; then
    echo "LAB-FAILED: cannot unpack the run's files"
    exit 1
fi
/bin/busybox umount /proc
exec /bin/busybox switch_root /sysroot /lab/init
