"""The way in for people and programs: HTTP.

`gate` stands before everything and decides who may come in; `roles` says what each route needs,
`jobs`, `specs`, `files`, `uploads`, `admin` and `session` hold the routes, `streams` tells of
events as they come, `page` serves the page and `mlflow` what MLflow's server says; `app` puts them
together. Nothing here decides what a user may do with a job: that is the desk's.
"""
