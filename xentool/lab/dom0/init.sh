#!/bin/sh
# dom0's init: what xl and xentool expect of a Xen host, and then the agent that runs commands.
# A line with LAB-FAILED tells the lab on the other side of the console why there will be no agent.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=linux

fail() {
    echo "LAB-FAILED: $*"
    exec busybox poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
ln -sf /proc/self/fd /dev/fd
# Without /dev/stdin Xen's hotplug scripts wait for their locks forever.
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
mkdir -p /run/xen /run/xenstored /run/lock/subsys

modprobe -a virtio_console xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xen-blkback xen-netback \
    tun loop bridge || fail "a kernel module is missing"
mount -t xenfs xenfs /proc/xen || fail "this is not Xen's dom0"
echo lab >/proc/sys/kernel/hostname
ip link set lo up
/usr/lib/systemd/systemd-udevd --daemon 2>/dev/null || fail "udevd does not start"

# By their own paths: Debian's wrappers in /usr/sbin find the running Xen's folder with a chain of shell scripts.
xen=$(echo /usr/lib/xen-4.*)
"$xen/bin/${XENSTORED:=xenstored}" --pid-file /run/xenstored.pid || fail "$XENSTORED does not start"
"$xen/bin/xen-init-dom0" >/dev/null || fail "xen-init-dom0 failed"
"$xen/bin/xenconsoled" --log=all --pid-file=/run/xenconsoled.pid || fail "xenconsoled does not start"

# From here on the console has warnings alone: whoever makes the kernel say something waits for a serial line.
# `dmesg` has it all, and so has the console after an oops.
echo 4 >/proc/sys/kernel/printk

# Not exec: as process 1 the shell reaps whatever daemons leave behind.
/usr/bin/python3 -m xentool.lab.agent
fail "the agent ended with exit code $?"
