//! From the paths of requests to routes: what identifies one thing among many becomes `*`.
