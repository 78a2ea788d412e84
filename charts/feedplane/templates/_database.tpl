{{/* A TimescaleDB container without its mounts: (dict "root" $ "secret" NAME "resources" {...}). */}}
{{- define "feedplane.databaseContainer" -}}
image: {{ include "feedplane.image" (dict "root" .root "image" .root.Values.images.database) }}
imagePullPolicy: {{ .root.Values.images.database.pullPolicy }}
env:
  - {name: POSTGRES_USER, value: feedplane}
  - {name: POSTGRES_DB, value: feedplane}
  - name: POSTGRES_PASSWORD
    valueFrom: {secretKeyRef: {name: {{ .secret }}, key: password}}
  # A folder below the mount point: the mount itself may hold a lost+found.
  - {name: PGDATA, value: /var/lib/postgresql/data/pgdata}
ports:
  - {name: postgres, containerPort: 5432}
# Over TCP: while the database is made, a temporary server answers on the socket only.
startupProbe:
  exec: {command: [pg_isready, -h, 127.0.0.1, -U, feedplane]}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 120
readinessProbe:
  exec: {command: [pg_isready, -h, 127.0.0.1, -U, feedplane]}
  periodSeconds: 2
  timeoutSeconds: 5
resources: {{- toYaml .resources | nindent 2 }}
securityContext: {{- include "feedplane.containerSecurityContext" .root | nindent 2 }}
{{- end }}
