"""A reduced schema of KubeRay's RayCluster and RayJob (ray.io/v1, as in the API reference of KubeRay 1.6).

The objects' own fields are complete, so that a misspelt one is found. Of a pod's, those that our files use are here.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
ANY: Schema = {}


def struct(required: list[str], **fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": required, "additionalProperties": False}


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


def choice(*values: str) -> Schema:
    return {"enum": list(values)}


QUANTITY: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[KMGT]i?)?$"}
QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}
RESOURCES = struct([], requests=QUANTITIES, limits=QUANTITIES)
# A secret's value stands in no file: an environment variable has a plain value, or a reference.
CONTAINER = struct(
    ["name", "image"],
    name=TEXT,
    image={"type": "string", "pattern": r"^[^\s:]+(:\d+)?/?[^\s]*:[^\s:/]+$", "not": {"pattern": ":latest$"}},
    command=listed(TEXT),
    args=listed(TEXT),
    env=listed(struct(["name"], name=TEXT, value=TEXT, valueFrom={"type": "object"})),
    envFrom=listed(struct([], secretRef=struct(["name"], name=TEXT), configMapRef=struct(["name"], name=TEXT))),
    ports=listed(struct(["containerPort"], name={"type": "string", "maxLength": 15}, containerPort=COUNT)),
    resources=RESOURCES,
    volumeMounts=listed(struct(["name", "mountPath"], name=TEXT, mountPath=TEXT, readOnly=FLAG)),
)
VOLUME = struct(
    ["name"],
    name=TEXT,
    emptyDir={"type": "object"},
    persistentVolumeClaim=struct(["claimName"], claimName=TEXT, readOnly=FLAG),
)
TOLERATION = struct([], key=TEXT, operator=choice("Exists", "Equal"), value=TEXT, effect=TEXT)
POD = struct(
    ["containers"],
    containers=listed(CONTAINER),
    volumes=listed(VOLUME),
    nodeSelector=TEXTS,
    tolerations=listed(TOLERATION),
    terminationGracePeriodSeconds=COUNT,
    serviceAccountName=TEXT,
    imagePullSecrets=listed(struct(["name"], name=TEXT)),
)
TEMPLATE = struct(["spec"], metadata={"type": "object"}, spec=POD)
AUTOSCALER = struct(
    [],
    resources=RESOURCES,
    image=TEXT,
    imagePullPolicy=TEXT,
    securityContext=ANY,
    idleTimeoutSeconds=COUNT,
    upscalingMode=choice("Default", "Aggressive", "Conservative"),
    version=choice("v1", "v2"),
    env=ANY,
    envFrom=ANY,
    volumeMounts=ANY,
)
HEAD = struct(
    ["template"],
    template=TEMPLATE,
    headService=ANY,
    enableIngress=FLAG,
    rayStartParams=TEXTS,
    serviceType=choice("ClusterIP", "NodePort", "LoadBalancer"),
    resources=TEXTS,
    labels=TEXTS,
)
WORKERS = struct(
    ["groupName", "maxReplicas", "minReplicas", "template"],
    suspend=FLAG,
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    numOfHosts=COUNT,
    rayStartParams=TEXTS,
    resources=TEXTS,
    labels=TEXTS,
    scaleStrategy=ANY,
    template=TEMPLATE,
)
CLUSTER_SPEC = struct(
    ["headGroupSpec"],
    authOptions=struct([], mode=choice("disabled", "token"), secretName=TEXT, enableK8sTokenAuth=FLAG),
    suspend=FLAG,
    managedBy=TEXT,
    autoscalerOptions=AUTOSCALER,
    headServiceAnnotations=TEXTS,
    enableInTreeAutoscaling=FLAG,
    gcsFaultToleranceOptions=ANY,
    headGroupSpec=HEAD,
    rayVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
    upgradeStrategy=ANY,
    workerGroupSpecs=listed(WORKERS),
)
JOB_SPEC = struct(
    ["entrypoint"],
    activeDeadlineSeconds=COUNT,
    backoffLimit=COUNT,
    rayClusterSpec=CLUSTER_SPEC,
    submitterPodTemplate=TEMPLATE,
    metadata=TEXTS,
    clusterSelector=TEXTS,
    submitterConfig=struct([], backoffLimit=COUNT),
    managedBy=TEXT,
    deletionStrategy=ANY,
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    submissionMode=choice("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    entrypointResources=TEXT,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    preRunningDeadlineSeconds=COUNT,
    ttlSecondsAfterFinished=COUNT,
    shutdownAfterJobFinishes=FLAG,
    suspend=FLAG,
)
METADATA = struct(["name"], name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS)
KINDS = {
    kind: struct(
        ["apiVersion", "metadata", "spec"], apiVersion=choice("ray.io/v1"), kind=TEXT, metadata=METADATA, spec=spec
    )
    for kind, spec in (("RayCluster", CLUSTER_SPEC), ("RayJob", JOB_SPEC))
}
