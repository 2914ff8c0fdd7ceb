"""The page that shows a data set, and questions to it in SQL."""
