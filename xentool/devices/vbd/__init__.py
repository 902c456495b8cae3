"""Virtual block devices: what a guest sees as disks and CD-ROM drives."""
