"""What every adapter is held to, against its venue simulated over real sockets."""
