"""libxl behind the toolstack port: everything that libxenlight can do, by its functions in C alone.

No compiler and no headers are needed on the host, and no layout of libxl's structures is known
here: they go in and out as JSON, by libxl's own ``_from_json`` and ``_to_json``. libxlutil is not
needed at all: configs are read by our own parser.

    library     which libxenlight there is, and whether it is as we rely on it to be
    signatures  its functions, and what they take
    struct      one of its structures: measured, filled, read, disposed of
    log         what it says, as lines
    context     a connection through it
    operations  its long operations, which ^C ends
    failures    what its error codes (`codes`) and words (`words`) mean, in ours

On top of these, by subject: domains, their resources, creating, saving and restoring (and the `savefile`),
devices (their `kinds`, and `plugging` in xl's words), configs, hostinfo. `toolstack` is what commands see of
it all.
"""
