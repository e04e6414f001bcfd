"""Priority and fairness: which flow a request belongs to, and when its turn is. Source: KEP-1040."""
