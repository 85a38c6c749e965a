//! The service over real PostgreSQL; dead letters come in as the runner brings
//! them.
