"""Who the recipients of a destination are: directories for systems, worklists for employees."""
