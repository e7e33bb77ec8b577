//! Every format by one suite: files as they are handed to payees, read back by ourselves and by readers that are not ours,
//! with whatever a payer may type.

mod hostile;
mod names;
mod readers;
mod received;
mod refused;
mod samples;
mod stand;
mod trips;
