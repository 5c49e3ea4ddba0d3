"""Problems that other projects have published: what searches find on COCO's functions, on tables and on surrogates."""
