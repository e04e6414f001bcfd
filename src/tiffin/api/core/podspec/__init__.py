"""Pod specs, wherever they stand: in a Pod or in the template of a workload. Defaults, resources and validation.

* `defaults`: `default_pod_spec(spec)`, `default_pod_template(template)`, and `default_pod(pod)` for what pods alone get
* `validation`: `validate_pod_spec(spec, path, ...)`, `validate_pod_template_spec(template, path)`
* `resources`: requests and limits of a pod, and its quality of service
"""
