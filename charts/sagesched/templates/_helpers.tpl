{{- define "sagesched.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sagesched.selector" -}}
app.kubernetes.io/name: sagesched-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "sagesched.labels" -}}
{{ include "sagesched.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sagesched.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "sagesched.name" .) -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Reference of an image: (list root image). A digest wins over the tag, the chart's appVersion fills in. */}}
{{- define "sagesched.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Selector of one namespace by name, or of all. */}}
{{- define "sagesched.namespace" -}}
{{- if . -}}
matchLabels: {kubernetes.io/metadata.name: {{ . | quote }}}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/* The operator's command line. */}}
{{- define "sagesched.arguments" -}}
- run
- --gateway-image={{ include "sagesched.image" (list . .Values.pools.gatewayImage) }}
- --gateway-gpu-image={{ include "sagesched.image" (list . .Values.pools.gatewayGpuImage) }}
- --fetch-image={{ include "sagesched.image" (list . .Values.pools.fetchImage) }}
- --operator-labels={{ printf "app.kubernetes.io/name=sagesched-operator,app.kubernetes.io/instance=%s" .Release.Name }}
- --scaler-address={{ include "sagesched.name" . }}.{{ .Release.Namespace }}.svc:9090
- --lease-name={{ include "sagesched.name" . }}
- --log-level={{ .Values.log.level }}
- --log-format={{ .Values.log.format }}
{{- range .Values.watchNamespaces }}
- --namespace={{ . }}
{{- end }}
{{- with .Values.networkPolicy.monitoringNamespace }}
- --monitoring-namespace={{ . }}
{{- end }}
- --dns-ports={{ join "," .Values.networkPolicy.dnsPorts }}
{{- with .Values.pools.monitorLabels }}
{{- $pairs := list }}
{{- range $key, $value := . }}{{ $pairs = append $pairs (printf "%s=%s" $key $value) }}{{ end }}
- --monitor-labels={{ join "," $pairs }}
{{- end }}
{{- if .Values.pools.allowHostPath }}
- --allow-host-path
{{- end }}
{{- end -}}

{{- define "sagesched.subjects" -}}
- {kind: ServiceAccount, name: {{ include "sagesched.serviceAccount" . | quote }}, namespace: {{ .Release.Namespace | quote }}}
{{- end -}}

{{/* What the operator may do where it looks after pools: no more than it does, which a test proves from an
audit log. Children are written by server-side apply, which is `patch`, and `create` where they are new; those
that every pool has go with it by the garbage collector, so the operator cannot delete a Deployment. */}}
{{- define "sagesched.poolRules" -}}
- apiGroups: [serving.sagesched.io]
  resources: [llmservingpools]
  verbs: [list, watch]
- apiGroups: [serving.sagesched.io]
  resources: [llmservingpools/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch]
{{- range $group, $kinds := dict "apps" (list "controllerrevisions") "autoscaling" (list "horizontalpodautoscalers") "networking.k8s.io" (list "networkpolicies") "monitoring.coreos.com" (list "podmonitors" "prometheusrules") "inference.networking.k8s.io" (list "inferencepools") "keda.sh" (list "scaledobjects") "resource.k8s.io" (list "resourceclaimtemplates") }}
- apiGroups: [{{ $group }}]
  resources: [{{ join ", " $kinds }}]
  verbs: [list, watch, create, patch, delete]
{{- end }}
{{- end -}}
