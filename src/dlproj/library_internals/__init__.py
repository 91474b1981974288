"""What we use of libraries beyond their public API: a module a library, one function or name each."""
