//! Files in the database, in a directory and in S3-compatible storage: whole under their names, or not there.

mod bare;
mod directory;
mod s3;
mod stand;
mod strangers;
