"""Xen's public interface as data: structures, constants, versions. No I/O, no policy."""
