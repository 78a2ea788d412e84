"""Transport engines: one file per library that opens venue sockets."""
