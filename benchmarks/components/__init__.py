"""Who is connected to whom: ways to connected components, on links in memory and from table to table."""
