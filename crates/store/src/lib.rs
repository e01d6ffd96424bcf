//! Updates many ordinary files as one: all of them or none, durable, recovered on open
