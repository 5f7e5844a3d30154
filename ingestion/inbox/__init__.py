"""Delivered files: what lies in the inbox, in archives and in other systems' tables, and which of it a night takes."""
