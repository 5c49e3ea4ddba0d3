"""What a person sees on a terminal: the live view of a study, drawn with rich, which is imported only to draw."""
