"""Which server a call goes to: one server, or a cluster that is watched by gossip."""
