"""QEMU as the backend of a PV guest: of disks that are no plain block device, and of channels."""
