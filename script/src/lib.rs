//! Programs of users on Points, and what they can look up.
