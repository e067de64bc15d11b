//! Who is asking, from cookies, bearer tokens and keys, and what the upstream is told of it.
