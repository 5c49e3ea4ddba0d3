"""Search methods with one interface: a searcher returns batches of parameters, and receives their losses."""
