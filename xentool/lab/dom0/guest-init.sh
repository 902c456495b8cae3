#!/bin/busybox sh
# A test guest's init: says that it is up, gives a shell on its console, and powers off when told to.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/ TERM=linux PS1='guest# '
exec </dev/hvc0 >/dev/hvc0 2>&1
# A shell that does not know the terminal's size asks it, with bytes that look like output.
stty rows 24 cols 80
while read -r module; do
    insmod "/$module"
done </modules
ip link set lo up
memory=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
echo "XENTOOL-GUEST-UP memory_kib=$memory vcpus=$(nproc) kernel=$(uname -r)"
echo "XENTOOL-GUEST-CMDLINE $(cat /proc/cmdline)"
# A shell that ends is started again, with the console as its terminal.
while :; do
    setsid -c sh -i
done
