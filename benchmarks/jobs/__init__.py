"""Jobs that do nothing, from submit to result: onecopy and its peers."""
